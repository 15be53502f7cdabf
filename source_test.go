// Package jetsaga_test holds the module to its rules: which package may import which, what the core may touch, what is
// documented, and what no file may name.
package jetsaga_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/jetsaga/jetsaga"

// files are the positions of all that is parsed.
var files = token.NewFileSet()

// source is a Go file of the module.
type source struct {
	name   string // "streams/embedded/server.go"
	dir    string // "streams/embedded"; "." at the root
	isTest bool
	syntax *ast.File
}

// part gives the first element of the directory: the part of the module that the file belongs to.
func (s *source) part() string {
	part, _, _ := strings.Cut(s.dir, "/")
	return part
}

// within reports whether the file's directory is dir or below it.
func (s *source) within(dir string) bool { return s.dir == dir || strings.HasPrefix(s.dir, dir+"/") }

// imports gives the paths that the file imports.
func (s *source) imports() []string {
	paths := make([]string, len(s.syntax.Imports))
	for i, spec := range s.syntax.Imports {
		paths[i] = importPath(spec)
	}
	return paths
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		panic(err) // the parser lets no such literal pass
	}
	return p
}

// sources gives every Go file of the module, whatever its build constraints.
func sources(t *testing.T) []*source {
	t.Helper()
	all, err := readSources()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var readSources = sync.OnceValues(func() ([]*source, error) {
	var all []*source
	err := walk(func(name string) error {
		if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") {
			return nil
		}
		syntax, err := parser.ParseFile(files, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		all = append(all, &source{
			name: name, dir: path.Dir(name), isTest: strings.HasSuffix(name, "_test.go"), syntax: syntax,
		})
		return err
	})
	return all, err
})

// walk visits every file below the root, by its slash-separated name, but for those of git and what a run left behind.
func walk(visit func(name string) error) error {
	return filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == ".git" || name == ".jetsaga" || name == "bin"):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		default:
			return visit(filepath.ToSlash(name))
		}
	})
}
