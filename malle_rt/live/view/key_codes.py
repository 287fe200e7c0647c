"""Names of keys, from the codes of OpenCV's window systems, which agree only about ASCII."""

from __future__ import annotations

__all__ = ["key_name"]

_PLAIN = {27: "Esc", 32: "Space"}
# X11 and Wayland keysyms, as Qt and GTK give them; the second of each is the key pad's, without NumLock.
_KEYSYMS = {
    **{0xFF51: "Left", 0xFF52: "Up", 0xFF53: "Right", 0xFF54: "Down"},
    **{0xFF96: "Left", 0xFF97: "Up", 0xFF98: "Right", 0xFF99: "Down"},
    **{0xFFAB: "+", 0xFFAD: "-", 0xFF1B: "Esc"},
}
# Cocoa: NSUpArrowFunctionKey and its neighbours.
_COCOA = {0xF700: "Up", 0xF701: "Down", 0xF702: "Left", 0xF703: "Right"}
# Win32: virtual key codes in the upper half.
_WIN32 = {0x250000: "Left", 0x260000: "Up", 0x270000: "Right", 0x280000: "Down"}


def key_name(code: int) -> str | None:
    """Name of a key: a character (letters in lower case), "Left", "Right", "Up", "Down", "Esc" or "Space".

    Args:
        code: as ``cv2.waitKeyEx`` and ``cv2.pollKey`` give it; -1 for none.

    Returns:
        None for no key, and for keys that have no name here (Shift, function keys ...).
    """
    if code < 0:
        return None
    if code in _WIN32:
        return _WIN32[code]
    symbol = code & 0xFFFF  # GTK tells modifiers such as NumLock in the upper half
    known = _PLAIN.get(symbol) or _KEYSYMS.get(symbol) or _COCOA.get(symbol)
    if known is not None:
        return known
    return chr(symbol).lower() if 33 <= symbol < 127 else None
