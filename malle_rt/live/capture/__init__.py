"""Where live pictures come from: cameras, streams, files at their own pace."""
