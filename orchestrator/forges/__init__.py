"""The code hosts that pull and merge requests are opened on; one file each."""
