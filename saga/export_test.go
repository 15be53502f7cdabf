package saga

import "flag"

// Update has the tests rewrite the golden files under testdata with what the code does now.
var Update = flag.Bool("update", false, "rewrite the golden files under testdata with what the code does now")

// WithoutAttributes gives the plan as it is to whoever reads it: the attributes are functions.
func (p *Plan) WithoutAttributes() *Plan {
	q := *p
	q.attributes = nil
	return &q
}
