"""Clean what OpenCV captures: python examples/opencv_capture.py [NUMBER OF A CAMERA | FILE | URL]; Esc ends it."""

import sys

import cv2

import malle_rt

source = sys.argv[1] if len(sys.argv) > 1 else "0"
capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
if not capture.isOpened():
    sys.exit(f"OpenCV cannot open {source}")
with malle_rt.Denoiser(pixel_format="bgr24") as denoiser:
    while (read := capture.read())[0] and cv2.waitKey(1) != 27:
        cv2.imshow("clean", denoiser(read[1]))
