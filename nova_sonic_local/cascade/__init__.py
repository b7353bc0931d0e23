"""The services that a cascade needs beside the model of speech: a text model (Converse), recognition (Transcribe) and synthesis (Polly)."""
