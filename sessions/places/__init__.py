"""Where a session is used: the device, the location of its address, and how many sockets it has open."""
