"""The command `slotkeeper`, for a receptionist or an on-call engineer. It calls a gateway over HTTP.

It is installed by `pip install 'slotkeeper[cli]'`; the client alone does not need its libraries.
"""
