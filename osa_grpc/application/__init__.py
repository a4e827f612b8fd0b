"""What the service does, and the ports it needs. Imports the domain only."""
