"""Archives, unpacked so that nothing escapes."""
