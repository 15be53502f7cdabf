package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jetsaga/jetsaga/saga"
)

// registry holds the definitions that a worker knows. It does not change once the worker runs.
type registry struct {
	definitions map[string]map[int]saga.Runnable // by name and version
	highest     map[string]int
}

func newRegistry() *registry {
	return &registry{definitions: map[string]map[int]saga.Runnable{}, highest: map[string]int{}}
}

// add takes definitions, all or none.
func (r *registry) add(defs []saga.Runnable) error {
	var errs []error
	seen := map[string]bool{}
	for i, d := range defs {
		if d == nil || d.Plan() == nil { // a Definition that is nil, too
			errs = append(errs, fmt.Errorf("definition %d is nil", i+1))
			continue
		}
		p := d.Plan()
		id := fmt.Sprintf("%s version %d", p.Name, p.Version)
		if seen[id] || r.definitions[p.Name][p.Version] != nil {
			errs = append(errs, fmt.Errorf("definition %s is registered twice", id))
		}
		seen[id] = true
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, d := range defs {
		p := d.Plan()
		if r.definitions[p.Name] == nil {
			r.definitions[p.Name] = map[int]saga.Runnable{}
		}
		r.definitions[p.Name][p.Version] = d
		r.highest[p.Name] = max(r.highest[p.Name], p.Version)
	}
	return nil
}

// plan gives a version's plan, or nil; version 0 is the highest.
func (r *registry) plan(name string, version int) *saga.Plan {
	if d := r.runnable(name, version); d != nil {
		return d.Plan()
	}
	return nil
}

func (r *registry) runnable(name string, version int) saga.Runnable {
	if version == 0 {
		version = r.highest[name]
	}
	return r.definitions[name][version]
}

// names gives the names of the definitions, in order.
func (r *registry) names() []string { return slices.Sorted(maps.Keys(r.definitions)) }

// plans gives the plans of all definitions, in the order of their names and versions.
func (r *registry) plans() (plans []*saga.Plan) {
	for _, name := range r.names() {
		for _, version := range slices.Sorted(maps.Keys(r.definitions[name])) {
			plans = append(plans, r.definitions[name][version].Plan())
		}
	}
	return plans
}
