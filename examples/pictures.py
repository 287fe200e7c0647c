# %% [markdown]
# # Pictures
#
# Arrays in, clean arrays out. The cells run one by one in editors that know `# %%` (VS Code, Spyder, PyCharm; Jupyter
# with jupytext), or all at once: `python examples/pictures.py` writes `pictures.png`.

# %% Some noisy pictures: the first frames of the clip that the repository has, (H, W, 3) uint8 RGB.
from pathlib import Path

import av
import cv2
import numpy as np

import malle_rt

clip = Path(malle_rt.__file__).parents[1] / "docs/noisy.mp4"
with av.open(str(clip)) as container:
    frames = [frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), range(8))]
noisy = frames[-1]
print(len(frames), noisy.shape, noisy.dtype)

# %% One picture, as if it were a photograph. The strength is estimated; "light", "strong" or a sigma choose it.
photograph = malle_rt.denoise_image(noisy)
weak = malle_rt.denoise_image(noisy, strength=8)

# %% The same picture as the last of a video: the network has seen the seven before, and knows more.
with malle_rt.Denoiser() as denoiser:
    clean = list(denoiser.stream(frames))[-1]
    print(f"{denoiser.backend}; sigma {denoiser.sigma:.1f}")

# %% What was taken away is noise, without edges: its standard deviation, and 128 plus four times of it as a picture.
removed = noisy.astype(int) - clean
print(f"removed: {removed.std():.1f} of 255")
rest = np.clip(128 + 4 * removed, 0, 255).astype(np.uint8)

# %% Several pictures with one denoiser: `reset` between those that have nothing to do with each other.
with malle_rt.Denoiser(strength=15, mix=0.8, pixel_format="gray") as denoiser:
    grays = []
    for each in frames[:2]:
        grays.append(denoiser(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY)))
        denoiser.reset()

# %% As PyAV has it: 4:2:0 planes, read where they are, and put into a frame for an encoder.
with av.open(str(clip)) as container, malle_rt.Denoiser(pixel_format="yuv420p") as denoiser:
    planes = denoiser(next(container.decode(video=0)).to_ndarray())
encodable = av.VideoFrame.from_ndarray(planes, format="yuv420p")
print(encodable)

# %% Side by side: noisy, as one picture, as video; one picture at sigma 8, what was removed, gray.
part = np.s_[100:260, 200:440]
above = np.hstack([each[part] for each in (noisy, photograph, clean)])
below = np.hstack([each[part] for each in (weak, rest, np.dstack([grays[1]] * 3))])
cv2.imwrite("pictures.png", cv2.cvtColor(np.vstack([above, below]), cv2.COLOR_RGB2BGR))
