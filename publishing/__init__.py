"""What is told to the world while conversations go on: events for front ends, and alerts for people who run the server."""
