"""NovaSonicService: voice sessions and their audio as one typed interface, for programs and for the REST API."""
