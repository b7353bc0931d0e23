"""A model of speech put together of three services: Transcribe hears, a text model on Bedrock answers, Polly speaks."""
