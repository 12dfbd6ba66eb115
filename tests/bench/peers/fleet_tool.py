def measure(folder, build, sessions):
    return [], []
