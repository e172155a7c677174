"""The command `slotkeeper`, for who sits at a desk or is on call. It asks a gateway, over HTTP.

Others get it by `pip install 'slotkeeper[cli]'`; the client alone does without its libraries.
"""
