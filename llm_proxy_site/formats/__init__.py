"""How pages write days and instants: as the API, the commands and the log do, and in UTC."""
