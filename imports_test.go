package jetsaga_test

import (
	"slices"
	"strings"
	"testing"
)

// below tells, for each part of the module, which other parts its code may import. Tests may import any.
var below = map[string][]string{
	"saga":        {},
	"shard":       {"saga"},
	"streams":     {"saga", "shard"},
	"projections": {"saga", "shard"},
	"engine":      {"saga", "shard", "streams", "projections"},
	"examples":    {"saga", "shard", "streams", "projections", "engine"},
	"benchmarks":  {"saga", "shard", "streams", "projections", "engine"},
	"cmd":         {"saga", "shard", "streams", "projections", "engine", "examples"},
	"testutil":    {"saga", "shard", "streams", "projections", "engine"},
}

func TestImportsPointOneWay(t *testing.T) {
	for _, s := range sources(t) {
		if s.dir == "." {
			if !s.isTest {
				t.Errorf("%s: the root has tests only; code belongs to a package", s.name)
			}
			continue
		}
		allowed, known := below[s.part()]
		if !known {
			t.Errorf("%s: %s is no part of the module that imports_test.go has a place for", s.name, s.part())
			continue
		}
		if s.isTest {
			continue
		}
		for _, imported := range s.imports() {
			inside, ok := strings.CutPrefix(imported, module+"/")
			if !ok {
				continue
			}
			part, _, _ := strings.Cut(inside, "/")
			if part != s.part() && !slices.Contains(allowed, part) {
				t.Errorf("%s imports %s: %s may import only %v", s.name, imported, s.part(), allowed)
			}
		}
	}
}

func TestTheCoreImportsTheStandardLibraryAndUUIDOnly(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest || !s.within("saga") {
			continue
		}
		for _, imported := range s.imports() {
			if !isStandard(imported) && imported != "github.com/google/uuid" {
				t.Errorf("%s imports %s: the core imports the standard library and github.com/google/uuid only", s.name, imported)
			}
		}
	}
}

// isStandard reports whether a package is of the standard library, whose paths have no dot in their first element.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") && !isWithin(imported, module)
}

// isWithin reports whether an import path is root or below it.
func isWithin(imported, root string) bool {
	return imported == root || strings.HasPrefix(imported, root+"/")
}

func TestAProgramLinksAServerOnlyIfItAsksForOne(t *testing.T) {
	const server, embedded = "github.com/nats-io/nats-server/v2", module + "/streams/embedded"
	for _, s := range sources(t) {
		if s.isTest || s.within("streams/embedded") || s.within("testutil") {
			continue
		}
		program := s.syntax.Name.Name == "main" || s.within("examples/internal")
		for _, imported := range s.imports() {
			if isWithin(imported, server) || imported == embedded && !program {
				t.Errorf("%s imports %s: only streams/embedded knows the server, and only programs and testutil start one",
					s.name, imported)
			}
		}
	}
}

func TestEveryPackageIsNamedAfterWhatItIs(t *testing.T) {
	vague := []string{"util", "utils", "common", "helper", "helpers"}
	for _, s := range sources(t) {
		name := strings.TrimSuffix(s.syntax.Name.Name, "_test")
		last := s.dir[strings.LastIndex(s.dir, "/")+1:]
		if slices.Contains(vague, name) || slices.Contains(vague, last) {
			t.Errorf("%s is in package %s, directory %s: name it after what it is", s.name, name, s.dir)
		}
	}
}
