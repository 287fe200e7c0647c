"""The compiled slice and its gradient against the reference, in the reference's own place."""

import copy

import pytest
import torch
from compiledslice import BuildError, SliceLibrary, build, compiled_slice, fastest_slice
from helpers.slicing import CASES, KERNEL_SIZES, draw

from malle_rt.net.rt import MalleNetRT, RTConfig
from malle_rt.ops.reference import malle_slice

pytestmark = pytest.mark.slow  # compiles

CPU = torch.device("cpu")


@pytest.fixture
def threads():
    """Sets torch's number of threads, for the test alone."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def drawn(case=(4, 2, 3, 5, 4), kernel_size=3, *, batch=2):
    x, grid = map(torch.from_numpy, draw(case, kernel_size, batch=batch))
    return x.requires_grad_(), grid.requires_grad_()


def weights(y):
    """A gradient with respect to y that differs from pixel to pixel."""
    return torch.sin(torch.arange(y.numel(), dtype=y.dtype)).view(y.shape)


def run(x, grid, kernel_size=3):
    """y and the gradients with respect to x, if it needs one, and the grid."""
    y = malle_slice(x, grid, kernel_size)
    wanted = [each for each in (x, grid) if each.requires_grad]
    return y.detach(), *torch.autograd.grad(y, wanted, weights(y))


def assert_as_exact(got, plain, exact):
    """Sums in another order: four times what torch itself loses in float32, or eight steps of the largest value."""
    for mine, theirs, right in zip(got, plain, exact, strict=True):
        floor = (theirs.double() - right).abs().max()
        allowed = 4 * floor + 8 * torch.finfo(torch.float32).eps * right.abs().max()
        assert (mine.double() - right).abs().max() <= allowed


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_as_exact_as_the_reference(slice_library, case, kernel_size):
    x, grid = drawn(case, kernel_size, batch=3)
    plain, exact = run(x, grid, kernel_size), run(x.double(), grid.double(), kernel_size)
    with compiled_slice(slice_library):
        assert_as_exact(run(x, grid, kernel_size), plain, exact)


def test_outside_the_context_the_reference_runs_again(slice_library):
    x, grid = drawn((3, 1, 5, 37, 2), 5)
    before = run(x, grid, 5)
    with compiled_slice(slice_library):
        assert not torch.equal(run(x, grid, 5)[2], before[2]), "the order of the sums tells them apart"
    assert all(map(torch.equal, run(x, grid, 5), before))


def test_the_input_may_need_no_gradient(slice_library):
    x, grid = drawn()
    y, _, wanted = run(x, grid)
    with compiled_slice(slice_library):
        _, found = run(x.detach(), grid)
        torch.testing.assert_close(found, wanted)
        with torch.inference_mode():
            torch.testing.assert_close(malle_slice(x, grid, 3), y)


@pytest.mark.parametrize("view", ["channels_last", "transposed", "cut", "expanded"])
def test_any_memory_order(slice_library, view):
    x, grid = (each.detach() for each in drawn((4, 4, 4, 6, 2)))

    def seen(each):
        if view == "channels_last":
            return each.contiguous(memory_format=torch.channels_last)
        if view == "transposed":
            return each.transpose(2, 3).contiguous().transpose(2, 3)
        return (
            each[:1].expand(2, -1, -1, -1)
            if view == "expanded"
            else torch.cat((each, each), 3).chunk(2, 3)[1]
        )

    wanted = run(seen(x).clone().requires_grad_(), seen(grid).clone().requires_grad_())
    with compiled_slice(slice_library):
        found = run(seen(x).requires_grad_(), seen(grid).requires_grad_())
        y = malle_slice(seen(x).requires_grad_(), seen(grid), 3)
        y.sum().backward()  # whose gradient is one number, seen everywhere
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("short", ["grid", "both"])
def test_bfloat16_of_autocast(slice_library, short):
    x, grid = (each.detach() for each in drawn((4, 2, 3, 5, 8)))
    x, grid = x.bfloat16() if short == "both" else x, grid.bfloat16()
    results = []
    for context in (torch.no_grad(), compiled_slice(slice_library)):
        with context, torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
            results.append(run(x.clone().requires_grad_(), grid.clone().requires_grad_()))
    wanted, found = results
    assert [each.dtype for each in found] == [x.dtype, x.dtype, torch.bfloat16]
    for mine, theirs in zip(found, wanted, strict=True):
        step = torch.finfo(mine.dtype).eps
        torch.testing.assert_close(mine, theirs, atol=step / 4 + 1e-5, rtol=step)


def test_any_number_of_threads_gives_the_same(slice_library, threads):
    x, grid = drawn((6, 3, 9, 31, 4), 5, batch=5)
    results = []
    with compiled_slice(slice_library):
        for count in (1, 2, 7):
            threads(count)
            results.append(run(x, grid, 5))
    for more in results[1:]:
        assert all(map(torch.equal, more, results[0]))


def test_float64_and_nothing_at_all_go_to_the_reference(slice_library):
    x, grid = (each.detach().double().requires_grad_() for each in drawn())
    wanted = run(x, grid)
    nothing = torch.empty(0, 4, 12, 20, requires_grad=True), torch.empty(0, 20, 3, 5, requires_grad=True)
    with compiled_slice(slice_library):
        assert all(map(torch.equal, run(x, grid), wanted))
        assert [each.shape[0] for each in run(*nothing)] == [0, 0, 0]


def test_a_network_and_its_copy_learn_the_same(slice_library):
    torch.manual_seed(0)
    net = MalleNetRT(RTConfig(widths=(4, 8, 12), tail=8, hidden=2)).to(memory_format=torch.channels_last)
    y, uv, sigma = torch.rand(2, 1, 32, 48), torch.rand(2, 2, 16, 24), torch.full((2, 1, 1, 1), 0.1)

    def gradients(network):
        outputs = network(y, uv, sigma, network.first_state(y, uv))
        loss = sum(each.square().mean() for each in outputs)
        return torch.autograd.grad(loss, list(network.parameters()))

    wanted = gradients(net)
    with compiled_slice(slice_library):
        for network in (net, copy.deepcopy(net)):
            for mine, theirs in zip(gradients(network), wanted, strict=True):
                torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)


def test_training_says_what_runs(slice_library, capsys):
    with fastest_slice(CPU) as name:
        assert name == "compiled slice"
    for device, wanted in ((CPU, False), (torch.device("cuda"), True)):
        with fastest_slice(device, compiled=wanted) as name:
            assert name == "slice in torch"
    assert capsys.readouterr().err == ""


def test_without_a_compiler_training_goes_on_and_says_so_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with fastest_slice(CPU) as name:
        assert name == "slice in torch"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "slower: no C++ compiler was found: install g++" in said


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        (
            "#!/bin/sh\necho 'a.cpp: note'; echo 'a.cpp:1: fatal error: no such header'; exit 1",
            "no such header",
        ),
        ("#!/bin/sh\nexit 3", "exit status 3"),
        ("#!/nowhere/sh\n", "does not start"),
    ],
)
def test_a_broken_compiler_is_told_in_a_line(tmp_path, monkeypatch, compiler, reason):
    program = tmp_path / "broken"
    program.write_text(compiler)
    program.chmod(0o755)
    monkeypatch.setenv("CXX", f"{program} -v")
    with pytest.raises(BuildError, match=reason) as caught:
        build(tmp_path / "built")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "built").iterdir()) == []


def test_the_library_is_compiled_once_and_replaces_older_ones(tmp_path, monkeypatch):
    compiler = tmp_path / "compiler"  # writes its arguments where the library is to be
    compiler.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done; echo "$@" > "$2"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    built = tmp_path / "built"
    first = build(built)
    stamp = first.stat().st_mtime_ns
    assert build(built) == first and first.stat().st_mtime_ns == stamp
    with pytest.raises(OSError, match="libmalle_train_"):
        SliceLibrary(first)
    monkeypatch.setenv("CXX", f"{compiler} -O1")
    second = build(built)
    assert second != first and list(built.iterdir()) == [second]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "true")
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match=r"cannot write .*file/built: Not a directory"):
        build(tmp_path / "file" / "built")
