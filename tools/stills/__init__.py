"""Training on photographs: the stills family, and the study of one MalleConv in a plain backbone."""
