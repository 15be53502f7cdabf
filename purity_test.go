package jetsaga_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"path"
	"slices"
	"strings"
	"testing"
)

// outside are the packages, with those below them, through which the core would reach the world around it or chance.
var outside = []string{"net", "os", "syscall", "log", "math/rand", "crypto/rand", "hash/maphash"}

// impure are the functions of other packages that read the clock, wait, start a goroutine or take a random number.
var impure = map[string][]string{
	"time":                   {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"},
	"context":                {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause", "AfterFunc"},
	"sync":                   {"WaitGroup"}, // which has Go
	"github.com/google/uuid": {"New", "NewString", "NewRandom", "NewUUID", "NewV6", "NewV7"},
}

func TestTheCoreHasNoInputOutputClockGoroutineOrChance(t *testing.T) {
	for _, s := range sources(t) {
		if !s.isTest && s.within("saga") {
			for _, f := range impurities(s.syntax) {
				t.Error(f)
			}
		}
	}
}

// impurities tells, place by place, what a file does that the core may not.
func impurities(file *ast.File) (found []string) {
	fault := func(n ast.Node, format string, args ...any) {
		at := files.Position(n.Pos())
		found = append(found, fmt.Sprintf("%s:%d: ", at.Filename, at.Line)+fmt.Sprintf(format, args...))
	}
	watched := map[string]string{} // import paths of impure, by their name in the file
	for _, spec := range file.Imports {
		imported := importPath(spec)
		if slices.ContainsFunc(outside, func(root string) bool { return isWithin(imported, root) }) {
			fault(spec, "imports %s", imported)
		}
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." {
			fault(spec, "imports all names of %s, so that their use cannot be seen", imported)
		}
		if impure[imported] != nil {
			watched[name] = imported
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			fault(n, "starts a goroutine")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && slices.Contains(impure[watched[x.Name]], n.Sel.Name) {
				fault(n, "uses %s.%s of %s", x.Name, n.Sel.Name, watched[x.Name])
			}
		}
		return true
	})
	return found
}

func TestImpuritiesAreSeen(t *testing.T) {
	for _, test := range []struct{ name, code, want string }{
		{"nothing", `import "time"; var t time.Time`, ""},
		{"clock", `import "time"; var t = time.Now()`, "core.go:1: uses time.Now of time"},
		{"clock as a value", `import "time"; var now = time.Since`, "core.go:1: uses time.Since of time"},
		{"clock by another name", `import now "time"; var t = now.Now()`, "core.go:1: uses now.Now of time"},
		{"clock with every name", `import . "time"; var t = Now()`, "core.go:1: imports all names of time, so that their use cannot be seen"},
		{"clock behind a context", `import "context"; var f = context.WithTimeout`, "core.go:1: uses context.WithTimeout of context"},
		{"a method of the same name", `var t = later.Now()`, ""},
		{"goroutine", `func f() { go f() }`, "core.go:1: starts a goroutine"},
		{"goroutine of a group", `import "sync"; var g sync.WaitGroup`, "core.go:1: uses sync.WaitGroup of sync"},
		{"a seed by chance", `import "hash/maphash"`, "core.go:1: imports hash/maphash"},
		{"network", `import "net/http"`, "core.go:1: imports net/http"},
		{"files", `import _ "os"`, "core.go:1: imports os"},
		{"chance", `import "math/rand/v2"`, "core.go:1: imports math/rand/v2"},
		{"a chance id", `import "github.com/google/uuid"; var id = uuid.New()`, "core.go:1: uses uuid.New of github.com/google/uuid"},
		{"a derived id", `import "github.com/google/uuid"; var id = uuid.NewSHA1`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			file, err := parser.ParseFile(files, "core.go", "package core; "+test.code, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(impurities(file), "\n"); got != test.want {
				t.Errorf("found %q, want %q", got, test.want)
			}
		})
	}
}
