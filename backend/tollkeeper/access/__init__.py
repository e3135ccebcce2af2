"""Who may call us: API keys with scopes, administrators and their sign-ins, repeated requests."""
