package jetsaga_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// public are the packages, with those below them, that users import.
var public = []string{"saga", "shard", "streams", "projections", "engine", "testutil"}

// known are methods whose meaning the standard library gives.
var known = []string{"Error", "Unwrap", "Is", "As", "String"}

func TestEveryExportedNameHasAComment(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest || !slices.ContainsFunc(public, s.within) {
			continue
		}
		for _, name := range uncommented(s.syntax) {
			t.Errorf("%s: %s is exported and has no comment", s.name, name)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if !s.isTest {
			documented[s.dir] = documented[s.dir] || s.syntax.Doc != nil
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("no file in %s has a package comment", dir)
		}
	}
}

// uncommented gives the exported names of a file that have no comment: functions, methods of exported types, types,
// constants, variables, the methods of interfaces, and the fields of types whose name ends in Config, whose comments
// tell the defaults. A comment on a group speaks for its constants and variables, not for its types.
func uncommented(file *ast.File) (names []string) {
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			receiver, name := receiverOf(decl), decl.Name.Name
			switch {
			case decl.Doc != nil || !token.IsExported(name):
			case receiver == "":
				names = append(names, name)
			case token.IsExported(receiver) && !slices.Contains(known, name):
				names = append(names, receiver+"."+name)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					if decl.Doc == nil {
						names = append(names, uncommentedNames("", spec.Names, spec.Doc, spec.Comment)...)
					}
				case *ast.TypeSpec:
					names = append(names, uncommentedType(decl, spec)...)
				}
			}
		}
	}
	return names
}

// uncommentedNames gives those names that are exported, if all the comments that they share are missing.
func uncommentedNames(prefix string, idents []*ast.Ident, comments ...*ast.CommentGroup) (names []string) {
	for _, c := range comments {
		if c != nil {
			return nil
		}
	}
	for _, ident := range idents {
		if ident.IsExported() {
			names = append(names, prefix+ident.Name)
		}
	}
	return names
}

// uncommentedType gives an exported type's name, and those of its members that need one, if they have no comment.
func uncommentedType(decl *ast.GenDecl, spec *ast.TypeSpec) []string {
	if !spec.Name.IsExported() {
		return nil
	}
	doc := spec.Doc
	if !decl.Lparen.IsValid() {
		doc = decl.Doc
	}
	names := uncommentedNames("", []*ast.Ident{spec.Name}, doc)
	var members []*ast.Field
	switch t := spec.Type.(type) {
	case *ast.InterfaceType:
		members = t.Methods.List
	case *ast.StructType:
		if strings.HasSuffix(spec.Name.Name, "Config") {
			members = t.Fields.List
		}
	}
	for _, m := range members {
		names = append(names, uncommentedNames(spec.Name.Name+".", m.Names, m.Doc, m.Comment)...)
	}
	return names
}

// receiverOf gives the name of a method's type; it is empty for a function.
func receiverOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	t := f.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func TestMissingCommentsAreSeen(t *testing.T) {
	for _, test := range []struct {
		name, code string
		want       []string
	}{
		{"function", "func F() {}", []string{"F"}},
		{"function with one", "// F is.\nfunc F() {}", nil},
		{"not exported", "func f() {}\ntype t int\nvar v, c int", nil},
		{"method", "type t struct{}\nfunc (t) M() {}", nil},
		{"method of an exported type", "// T is.\ntype T[A any] struct{}\nfunc (t *T[A]) M() {}", []string{"T.M"}},
		{"type", "type T int", []string{"T"}},
		{"method of the standard library's", "// E is.\ntype E struct{}\nfunc (E) Error() string { return \"\" }", nil},
		{"group of types", "// All are.\ntype (\nT int\n// U is.\nU int\n)", []string{"T"}},
		{"group of constants", "// All are.\nconst (\nA = 1\nB = 2\n)", nil},
		{"constants without", "const (\nA = 1 // is\nB = 2\n// C is.\nC = 3\n)", []string{"B"}},
		{"interface", "// I is.\ntype I interface {\nA()\n// B does.\nB()\nc()\n}", []string{"I.A"}},
		{"struct", "// S is.\ntype S struct{ A int }", nil},
		{"config", "// Config is.\ntype Config struct {\nA int\nB int // is\nc int\n}", []string{"Config.A"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			file, err := parser.ParseFile(files, "p.go", "package p\n\n"+test.code, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if got := uncommented(file); !slices.Equal(got, test.want) {
				t.Errorf("found %v, want %v", got, test.want)
			}
		})
	}
}
