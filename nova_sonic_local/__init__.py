"""Nova Sonic Local: Amazon Nova Sonic's bidirectional stream on the wire, without AWS. Shares no code with the server."""
