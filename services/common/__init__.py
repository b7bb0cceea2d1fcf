"""What every service process has: settings, ports, admission, errors, metrics, its life and its end."""
