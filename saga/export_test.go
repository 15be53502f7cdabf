package saga

import "flag"

// Update has the tests rewrite the golden files under testdata with what the code does now.
var Update = flag.Bool("update", false, "rewrite the golden files under testdata with what the code does now")
