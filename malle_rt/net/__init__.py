"""The networks. Needs torch; import the module you need."""
