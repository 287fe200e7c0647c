"""Odd picture files through the command, each made here: what comes out, or the one line that says why not."""

import io
import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from malle_rt.errors import ConfigError, SinkError, SourceError
from malle_rt.photo.denoiser import ArrayCanvas, PhotoDenoiser
from malle_rt.photo.job import clean_file, planned
from malle_rt.photo.noise import Treatment
from malle_rt.photo.picture import open_picture

SIGMA = 20
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><note>a word</note></x:xmpmeta>'


def exif(orientation=6, text="a camera"):
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, text
    tags.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    tags.get_ifd(0x8825)[1] = "N"
    return tags.tobytes()


def pixels(size=(61, 83), channels=3, bits=8, seed=0):
    """Waves with noise, (rows, columns, channels)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    truth = np.stack([120 + 60 * np.sin(x / (9 + 3 * k) + y / 20) for k in range(channels)], -1)
    noisy = np.clip(truth + rng.normal(0, SIGMA, truth.shape), 0, 255)
    codes = np.rint(noisy * ((1 << bits) - 1) / 255).astype(np.uint8 if bits == 8 else np.uint16)
    return codes[..., 0] if channels == 1 else codes


def picture(mode="RGB", size=(61, 83)):
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.fromarray(pixels(size, channels), mode) if channels > 1 else Image.fromarray(pixels(size, 1))


def stored(form, image=None, **options):
    with io.BytesIO() as file:
        (image if image is not None else picture()).save(file, form, **options)
        return file.getvalue()


def deep(suffix, channels, size=(61, 83)):
    return cv2.imencode(suffix, pixels(size, channels, 16))[1].tobytes()


def alpha(mode="RGBA"):
    image = picture(mode)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def deep_png_with(chunks):
    data = deep(".png", 3)
    return data[:33] + chunks + data[33:]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header_png(width, height, depth=8, colour=2):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def png_texts():
    info = PngInfo()
    info.add_text("Title", "a title")
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add(b"gAMA", struct.pack(">I", 45455))
    return info


def deep_tiff(channels=3, **extra):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    array = pixels((61, 83), channels, 16)
    tags[256], tags[257], tags[258], tags[259] = 83, 61, (16,) * channels, 1
    tags[262], tags[273], tags[277], tags[278] = 2 if channels > 2 else 1, 0, channels, 61
    tags[279] = array.nbytes
    for tag in (273, 279):
        tags.tagtype[tag] = 4
    for tag, value in extra.items():
        tags[int(tag[1:])] = value
    with io.BytesIO() as file:
        tags.save(file)
        file.write(array.astype("<u2").tobytes())
        return file.getvalue()


def animated(form):
    other = picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return stored(form, save_all=True, append_images=[other], duration=40)


def two_pictures():
    return stored("MPO", save_all=True, append_images=[picture()])


GOOD = {
    "plain.jpg": lambda: stored("JPEG", quality=90),
    "jpeg_name.jpeg": lambda: stored("JPEG"),
    "capital.JPG": lambda: stored("JPEG"),
    "progressive.jpg": lambda: stored("JPEG", progressive=True),
    "gray.jpg": lambda: stored("JPEG", picture("L")),
    "subsampled_422.jpg": lambda: stored("JPEG", subsampling=1),
    "subsampled_444.jpg": lambda: stored("JPEG", subsampling=0, quality=98),
    "rotated.jpg": lambda: stored(
        "JPEG", exif=exif(), icc_profile=ICC, xmp=XMP, dpi=(300, 300), comment="hello"
    ),
    "poor.jpg": lambda: stored("JPEG", quality=30),
    "two_pictures.jpg": two_pictures,
    "plain.png": lambda: stored("PNG"),
    "gray.png": lambda: stored("PNG", picture("L")),
    "alpha.png": lambda: stored("PNG", alpha()),
    "gray_alpha.png": lambda: stored("PNG", alpha("LA")),
    "palette.png": lambda: stored("PNG", picture().quantize(64)),
    "palette_clear.png": lambda: stored("PNG", picture().quantize(64), transparency=3),
    "colour_key.png": lambda: stored("PNG", transparency=(1, 2, 3)),
    "texts.png": lambda: stored("PNG", pnginfo=png_texts(), exif=exif(1), icc_profile=ICC, dpi=(72, 72)),
    "deep.png": lambda: deep(".png", 3),
    "deep_gray.png": lambda: deep(".png", 1),
    "deep_alpha.png": lambda: deep(".png", 4),
    "damaged_text.png": lambda: (
        (data := stored("PNG"))[:-12] + chunk(b"tEXt", b"Title\0x")[:-1] + b"?" + data[-12:]
    ),
    "deep_texts.png": lambda: deep_png_with(chunk(b"tEXt", b"Title\0deep") + chunk(b"eXIf", exif(3)[6:])),
    "plain.tif": lambda: stored("TIFF"),
    "packed.tif": lambda: stored("TIFF", compression="tiff_lzw", dpi=(240, 240), icc_profile=ICC),
    "deflated.tiff": lambda: stored("TIFF", compression="tiff_adobe_deflate", description="a scan"),
    "alpha.tif": lambda: stored("TIFF", alpha()),
    "gray.tif": lambda: stored("TIFF", picture("L")),
    "deep.tif": lambda: deep_tiff(),
    "deep_tags.tif": lambda: deep_tiff(
        t270="a scan", t274=8, t282=300.0, t283=300.0, t296=2, t34675=ICC, t700=XMP
    ),
    "deep_gray.tif": lambda: deep_tiff(1),
    "deep_packed.tif": lambda: deep(".tiff", 3),
    "plain.webp": lambda: stored("WEBP", quality=80),
    "lossless.webp": lambda: stored("WEBP", lossless=True, exif=exif(), icc_profile=ICC, xmp=XMP),
    "alpha.webp": lambda: stored("WEBP", alpha(), lossless=True),
    "plain.avif": lambda: stored("AVIF", quality=90, exif=exif(), icc_profile=ICC, xmp=XMP),
    "alpha.avif": lambda: stored("AVIF", alpha(), quality=90),
    "one_pixel.png": lambda: stored("PNG", picture(size=(1, 1))),
    "one_row.png": lambda: stored("PNG", picture(size=(1, 400))),
    "one_column.jpg": lambda: stored("JPEG", picture(size=(400, 1))),
    "odd_sides.webp": lambda: stored("WEBP", picture(size=(3, 5))),
    "one_pixel.tif": lambda: stored("TIFF", picture(size=(1, 1))),
    "black.png": lambda: stored("PNG", Image.new("RGB", (70, 50))),
    "white.jpg": lambda: stored("JPEG", Image.new("L", (70, 50), 255)),
    "still.gif": lambda: stored("GIF", picture().quantize(32)),
    "old.bmp": lambda: stored("BMP"),
    "a name with spaces, ümlaut and %04d.png": lambda: stored("PNG"),
}
SAID = {
    "two_pictures.jpg": "1 more picture in the file",
    "palette.png": "its palette became full colour",
    "plain.jpg": "JPEG as fine as the source|JPEG of quality 92",
    "poor.jpg": "JPEG of quality 92",
    "lossless.webp": "WebP without loss",
}
BAD = {
    "inks.jpg": (lambda: stored("JPEG", picture("CMYK")), "the inks of a printer"),
    "inks.tif": (lambda: stored("TIFF", picture("CMYK")), "the inks of a printer"),
    "film.gif": (lambda: animated("GIF"), "animated, 2 pictures"),
    "film.webp": (lambda: animated("WEBP"), "animated, 2 pictures"),
    "film.png": (lambda: animated("PNG"), "animated, 2 pictures"),
    "pages.tif": (lambda: animated("TIFF"), "has 2 pages"),
    "cut.jpg": (lambda: stored("JPEG")[:900], "damaged|truncated|cannot be read"),
    "cut.png": (lambda: stored("PNG")[:-3000], "damaged|truncated|cannot be read"),
    "cut.webp": (lambda: stored("WEBP")[:-500], "damaged|no picture|cannot be read"),
    "cut.avif": (lambda: stored("AVIF")[:-500], "damaged|no picture|cannot be read"),
    "cut.tif": (lambda: stored("TIFF")[:-5000], "damaged|truncated|cannot be read"),
    "cut_deep.png": (lambda: deep(".png", 3)[:-9000], "damaged|truncated|cannot be read"),
    "bomb.png": (lambda: header_png(90000, 90000), "8100 megapixels, 1000 are the most"),
    "large_but_empty.png": (
        lambda: header_png(30000, 30000),
        "GiB of memory|damaged|truncated|cannot be read",
    ),
    "empty.jpg": (lambda: b"", "is empty"),
    "text.jpg": (lambda: b"no picture at all, but some words\n" * 9, "is no picture that can be read"),
    "bits.png": (lambda: stored("PNG", picture("L").convert("1")), "black and white"),
    "floats.tif": (lambda: stored("TIFF", picture("L").convert("F")), "floating-point"),
    "lab.tif": (lambda: stored("TIFF", Image.new("LAB", (60, 60))), "colours are of a kind"),
    "phone.heic": (
        lambda: b"\0\0\0\x18ftypheic" + b"\0" * 200,
        "pillow-heif|damaged|no picture|cannot be read",
    ),
}


@pytest.fixture(scope="module")
def denoiser():
    denoiser = PhotoDenoiser("mallenet-s", threads=2)
    yield denoiser
    denoiser.close()


def cleaned(denoiser, folder, name, data, suffix=None, **options):
    source = folder / name
    source.write_bytes(data)
    ((_, output),) = planned([str(source)], suffix=suffix)
    report = clean_file(denoiser, source, output, **options)
    return source, output, report


def colours(path):
    found = open_picture(path)
    return found.canvas.read(0, 0, found.canvas.height, found.canvas.width) / found.canvas.largest


@pytest.mark.parametrize("name", GOOD)
def test_a_picture_comes_out_as_it_went_in_but_clean(denoiser, tmp_path, name):
    source, output, report = cleaned(denoiser, tmp_path, name, GOOD[name](), strength=SIGMA)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((source.name, output.name))
    assert output.suffix == (source.suffix if source.suffix not in (".gif", ".bmp") else ".png")
    before, after = open_picture(source), open_picture(output)
    assert (before.canvas.width, before.canvas.height) == (after.canvas.width, after.canvas.height)
    assert before.canvas.largest == after.canvas.largest
    noisy, clean = colours(source), colours(output)
    assert noisy.shape == clean.shape
    if min(noisy.shape[:2]) > 50 and name not in ("black.png", "white.jpg"):
        steps = [np.abs(np.diff(each, axis=0)).mean() for each in (noisy, clean)]
        assert steps[1] < 0.6 * steps[0], "less noise"
        assert abs(noisy.mean() - clean.mean()) < 0.02
    if name in SAID:
        assert any(part in report.summary() for part in SAID[name].split("|")), report.summary()
    with Image.open(source) as old, Image.open(output) as new:
        assert old.format == new.format or name in ("still.gif", "old.bmp", "two_pictures.jpg")
        for key in ("icc_profile", "dpi", "xmp", "comment", "Title", "gamma", "description"):
            if key == "dpi" and key in old.info:
                assert new.info[key] == pytest.approx(old.info[key], abs=0.01)
            else:
                assert new.info.get(key) == old.info.get(key), key
        assert dict(new.getexif()).get(0x010F) == dict(old.getexif()).get(0x010F)
        assert new.getexif().get(0x0112) == old.getexif().get(0x0112)
        assert new.getexif().get_ifd(0x8769) == old.getexif().get_ifd(0x8769)
        if "A" in old.getbands() and old.mode != "PA" and old.format != "AVIF":
            assert np.array_equal(np.asarray(old.getchannel("A")), np.asarray(new.getchannel("A")))


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_cleaned_is_said_in_one_line_and_leaves_nothing(denoiser, tmp_path, name):
    data, wanted = BAD[name]
    with pytest.raises(Exception, match=wanted) as raised:  # its type is looked at below
        cleaned(denoiser, tmp_path, name, data())
    assert type(raised.value).__name__ == "SourceError"
    assert "\n" not in str(raised.value) and str(tmp_path / name) in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("name", ["rotated.jpg", "texts.png", "deep_tags.tif", "lossless.webp", "plain.avif"])
def test_a_picture_takes_what_it_carries_into_another_format(denoiser, tmp_path, name, suffix):
    _, output, report = cleaned(denoiser, tmp_path, name, GOOD[name](), suffix, strength=SIGMA)
    with Image.open(tmp_path / name) as old, Image.open(output) as new:
        assert new.info.get("icc_profile") == ICC
        assert sorted(old.size) == sorted(new.size)
        assert new.getexif().get(0x0112, 1) == old.getexif().get(0x0112, 1)
        if 0x010F in old.getexif():
            assert new.getexif()[0x010F] == "a camera"
            assert new.getexif().get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
        if name != "texts.png" or suffix == ".png":
            assert (new.info.get("xmp") or new.info.get("XML:com.adobe.xmp")) in (XMP, XMP.decode())
    if name == "deep_tags.tif":
        assert ("its 16 bits became 8" in report.summary()) == (suffix not in (".png", ".tif"))
        assert open_picture(output).canvas.largest == (65535 if suffix in (".png", ".tif") else 255)


def test_heic_without_and_with_what_it_carries(denoiser, tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    _, output, report = cleaned(denoiser, tmp_path, "bare.heic", stored("HEIF", quality=90), strength=SIGMA)
    assert "HEIC of quality 92" in report.summary() and Image.open(output).size == (83, 61)
    full = stored("HEIF", quality=90, exif=exif(1), icc_profile=ICC, xmp=XMP)
    _, output, _ = cleaned(denoiser, tmp_path, "full.heic", full, strength=SIGMA)
    with Image.open(output) as new:
        assert (
            new.getexif()[0x010F] == "a camera" and new.info["icc_profile"] == ICC and new.info["xmp"] == XMP
        )
    with pytest.raises(SourceError, match=r"cut\.heic: is damaged|cut\.heic: cannot be read"):
        cleaned(denoiser, tmp_path, "cut.heic", full[:-800])


def test_a_deep_tiff_whose_white_is_0_stays_no_negative(denoiser, tmp_path):
    for flag, wanted in ((1, 1), (0, -1)):
        _, output, _ = cleaned(denoiser, tmp_path, f"gray{flag}.tif", deep_tiff(1, t262=flag), strength=SIGMA)
        codes = pixels((61, 83), 1, 16).astype(float)
        assert np.corrcoef(codes.ravel(), colours(output)[..., 0].ravel())[0, 1] * wanted > 0.8
        assert open_picture(output).array is not None


def test_deep_colours_multiplied_by_alpha_are_divided_again(denoiser, tmp_path):
    codes = np.full((70, 70, 4), (20000, 10000, 5000, 32768), np.uint16)
    tags = {"t256": 70, "t257": 70, "t258": (16,) * 4, "t277": 4, "t278": 70, "t279": codes.nbytes}
    for kind, wanted in ((1, (40000, 20000, 10000)), (2, (20000, 10000, 5000))):
        data = deep_tiff(4, t338=kind, **tags)
        data = data[: -pixels((61, 83), 4, 16).nbytes] + codes.astype("<u2").tobytes()
        _, output, _ = cleaned(denoiser, tmp_path, f"kind{kind}.tif", data, strength=2)
        assert np.abs(colours(output)[35, 35] * 65535 - wanted).max() < 600
        assert Image.open(output).tag_v2[338] == (2,)


def test_channels_that_are_neither_colour_nor_alpha_are_left_out_and_said(denoiser, tmp_path):
    _, output, report = cleaned(denoiser, tmp_path, "a.tif", deep_tiff(4, t338=0), strength=SIGMA)
    assert "1 further channel, which is no alpha, not kept" in report.summary()
    assert colours(output).shape == (61, 83, 3)
    assert Image.open(output).tag_v2[277] == 3


def test_a_tiff_that_cannot_be_read_is_called_one(denoiser, tmp_path):
    strange = deep_tiff(t262=32803)  # a camera's sensor
    with pytest.raises(SourceError, match="a TIFF of a kind that cannot be read: a camera's raw picture"):
        cleaned(denoiser, tmp_path, "raw.tif", strange)


def test_sixteen_bits_stay_sixteen_and_in_order(denoiser, tmp_path):
    """A flat colour without noise goes through the network and a file of each kind and keeps its last bits."""
    colour = np.array([40000, 20000, 10001], np.uint16)
    for suffix in (".png", ".tif"):
        data = cv2.imencode(suffix, np.full((70, 70, 3), colour[::-1], np.uint16))[1].tobytes()
        _, output, _ = cleaned(denoiser, tmp_path, f"flat{suffix}", data, strength=2)
        assert np.abs(colours(output)[20:-20, 20:-20] * 65535 - colour).max() < 600
        assert len(np.unique(colours(output) * 65535 % 257)) > 3


def test_nearly_no_noise_gives_a_copy_and_says_so(denoiser, tmp_path):
    data = stored("JPEG", Image.new("RGB", (80, 80), (90, 120, 60)), quality=70)
    source, output, report = cleaned(denoiser, tmp_path, "flat.jpg", data)
    assert source.read_bytes() == output.read_bytes()
    assert "almost no noise found: a copy of the source" in report.summary()


def test_alpha_is_left_out_of_a_jpeg_and_said(denoiser, tmp_path):
    _, output, report = cleaned(denoiser, tmp_path, "a.png", stored("PNG", alpha()), ".jpg", strength=SIGMA)
    assert "its alpha channel was left out" in report.summary()
    assert Image.open(output).mode == "RGB"


@pytest.mark.slow
@pytest.mark.slow
def test_the_sheet_shows_before_and_after(denoiser, tmp_path):
    sheet = tmp_path / "sheet.png"
    data = stored("JPEG", picture(size=(500, 900)), quality=95)
    _, _, report = cleaned(denoiser, tmp_path, "a.jpg", data, strength=SIGMA, compare=sheet)
    shown = np.asarray(Image.open(sheet)).astype(int)
    assert report.compare == sheet and shown.shape == (254 + 3 * 304, 1284, 3)
    before, after = shown[254:554, :640], shown[254:554, 644:]
    assert np.abs(np.diff(after, axis=1)).mean() < 0.6 * np.abs(np.diff(before, axis=1)).mean()


def test_nothing_is_replaced_or_written_through_unasked(denoiser, tmp_path):
    data = stored("PNG")
    source = tmp_path / "a.png"
    source.write_bytes(data)
    other = tmp_path / "other.png"
    other.write_bytes(b"mine")
    with pytest.raises(Exception, match="exists already"):
        clean_file(denoiser, source, other)
    with pytest.raises(Exception, match="this is the input itself"):
        clean_file(denoiser, source, source, overwrite=True)
    link = tmp_path / "link.png"
    link.symlink_to(other)
    clean_file(denoiser, source, link, overwrite=True, strength=SIGMA)
    assert link.is_symlink() and Image.open(other).size == (83, 61)
    assert source.read_bytes() == data
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(Exception, match="not written into pipes"):
        clean_file(denoiser, source, tmp_path / "pipe.png")
    source.chmod(0o600)
    clean_file(denoiser, source, tmp_path / "private.png", strength=SIGMA)
    assert (tmp_path / "private.png").stat().st_mode & 0o777 == 0o600


def test_a_picture_that_exists_is_not_taken_for_a_video(denoiser, tmp_path):
    cleaned(denoiser, tmp_path, "a.avif", stored("AVIF"), strength=SIGMA)
    with pytest.raises(
        SinkError, match=r"a\.clean\.avif: exists already\. Choose another name, or pass overwrite=True"
    ):
        cleaned(denoiser, tmp_path, "a.avif", stored("AVIF"), strength=SIGMA)


def test_a_writer_that_fails_leaves_nothing(denoiser, tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("no such mode")

    monkeypatch.setattr("malle_rt.photo.saving._WRITERS", {"PNG": fail})
    with pytest.raises(Exception, match=r"a\.clean\.png: cannot be written as PNG \(no such mode\)"):
        cleaned(denoiser, tmp_path, "a.png", stored("PNG"), strength=SIGMA)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_picture_larger_than_pillow_likes_is_cleaned(denoiser, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr("malle_rt.photo.job.LARGE", 100)
    monkeypatch.setattr("malle_rt.photo.saving.LARGE", 100)
    _, output, report = cleaned(denoiser, tmp_path, "a.jpg", stored("JPEG", progressive=True), strength=SIGMA)
    assert Image.MAX_IMAGE_PIXELS == 100
    assert "not progressive any more" in report.summary()
    monkeypatch.undo()
    assert "progressive" not in Image.open(output).info


def test_large_pictures_are_read_in_bands(denoiser, monkeypatch):
    class Watched(ArrayCanvas):
        most = 0

        def read(self, top, left, bottom, right):
            self.most = max(self.most, (bottom - top) * (right - left))
            return super().read(top, left, bottom, right)

    canvas = Watched(np.zeros((4000, 1100), np.uint8))
    monkeypatch.setattr(denoiser._net, "run", np.copy)
    denoiser.treat(canvas, Treatment(1.0, (0.0, 0.0, 0.0), 1.0))
    assert canvas.most <= 768 * 1100


def test_which_pictures_go_where(tmp_path):
    for name in ("a.jpg", "b.PNG", "a.clean.jpg", "notes.txt", "deep/c.tif", "deep/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def targets(*inputs, **options):
        pairs = planned([str(tmp_path / each) for each in inputs], **options)
        return [str(target.relative_to(tmp_path)) for _, target in pairs]

    out = str(tmp_path / "out")
    assert targets("") == ["a.clean.jpg", "b.clean.PNG"]
    assert targets("", output_dir=out, recursive=True) == [
        "out/a.jpg",
        "out/b.PNG",
        "out/deep/a.jpg",
        "out/deep/c.tif",
    ]
    assert targets("a.jpg", suffix=".webp") == ["a.clean.webp"]
    assert targets("a.jpg", output=str(tmp_path / "x.avif")) == ["x.avif"]
    with pytest.raises(ConfigError, match="would both become"):
        targets("a.jpg", "deep/a.jpg", output_dir=out)
    with pytest.raises(ConfigError, match="is for one picture"):
        targets("a.jpg", "b.PNG", output="x.jpg")
    with pytest.raises(ConfigError, match=r"the format must be one of jpg, .* got 'gif'"):
        targets("a.jpg", suffix=".gif")
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match="no pictures in this folder"):
        targets("none")


@pytest.mark.slow
def test_the_command_goes_on_after_a_bad_picture(tmp_path):
    (tmp_path / "good.png").write_bytes(stored("PNG"))
    (tmp_path / "bad.png").write_bytes(b"words")
    command = [
        sys.executable,
        "-m",
        "malle_rt",
        "photo",
        str(tmp_path),
        "--model",
        "mallenet-s",
        "--strength",
        "9",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert (
        "wrote" in done.stdout and "strength 9.0" in done.stdout and "1 of 2 pictures are done" in done.stdout
    )
    assert f"malle-rt: error: {tmp_path / 'bad.png'}: is no picture that can be read" in done.stderr
    assert "Traceback" not in done.stderr
    refused = subprocess.run(
        [*command, "--mix", "2"], capture_output=True, text=True, timeout=120, check=False
    )
    assert refused.returncode == 2 and "mix must be 0 to 1" in refused.stderr
