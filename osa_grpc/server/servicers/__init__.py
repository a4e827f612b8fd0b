"""One servicer per service: request → application → response. Errors are raised; `interceptors` answers them."""
