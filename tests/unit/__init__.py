from hypothesis import settings

# Properties are laws, not speed records: a busy machine fails none.
settings.register_profile('unhurried', deadline=None)
settings.load_profile('unhurried')
