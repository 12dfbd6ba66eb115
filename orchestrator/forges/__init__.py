"""The forges on which pull and merge requests are opened; one file each."""
