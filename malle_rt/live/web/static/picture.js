// Reads a picture's message: a header that malle_rt/live/web/picture.py writes, the clean JPEG, the raw JPEG.

const HEADER_BYTES = 24;

/** Decode one message; a part that was not sent is null. */
export async function readPicture(buffer) {
  const header = new DataView(buffer, 0, HEADER_BYTES);
  const cleanBytes = header.getUint32(16, true);
  const rawBytes = header.getUint32(20, true);
  const [clean, raw] = await Promise.all([
    decode(buffer, HEADER_BYTES, cleanBytes),
    decode(buffer, HEADER_BYTES + cleanBytes, rawBytes),
  ]);
  return {
    number: header.getFloat64(0, true),
    age: header.getFloat32(8, true),
    width: header.getUint16(12, true),
    height: header.getUint16(14, true),
    clean,
    raw,
  };
}

function decode(buffer, start, length) {
  if (!length) return null;
  return createImageBitmap(new Blob([new Uint8Array(buffer, start, length)], { type: "image/jpeg" }));
}
