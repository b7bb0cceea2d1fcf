"""`gpt-server`: starts and watches the processes of a stack on one machine. Imports neither edge nor services."""
