"""Scripts that fit or measure the figures in conf/."""
