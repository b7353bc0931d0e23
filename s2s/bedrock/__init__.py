"""Nova Sonic on Amazon Bedrock: the only place that knows the AWS streaming SDK."""
