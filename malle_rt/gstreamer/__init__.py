"""The element ``malledenoise`` for GStreamer.

``GST_PLUGIN_PATH`` names this folder, of which GStreamer loads what is in ``python``. Its loader runs the system's own
Python; docs/gstreamer.md says how the two come together.
"""
