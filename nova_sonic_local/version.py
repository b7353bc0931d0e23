"""The version of Nova Sonic Local, as recordings and the admin endpoint tell it."""

VERSION = "0.1.0"
