"""From sample counts and time stamps to one sample clock."""
