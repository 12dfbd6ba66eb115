"""What is checked while an agent runs, one file for each concern."""
