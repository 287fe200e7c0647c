import subprocess

from malle_rt.child import module_command


def test_a_source_tree_in_the_current_folder_is_not_taken_for_the_package(tmp_path):
    trap = tmp_path / "malle_rt"
    trap.mkdir()
    (trap / "__init__.py").write_text("raise SystemExit('the wrong package')")
    done = subprocess.run(
        module_command("malle_rt", "--version"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("malle-rt ")
