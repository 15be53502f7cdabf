package main

import (
	"cmp"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/projections"
	"github.com/jetsaga/jetsaga/saga"
)

// printed has, for each command, what it prints with -o json; nil where that is nothing, as it runs until it is interrupted.
var printed = map[string]any{
	"approve":             decisionView{},
	"cancel":              requestView{},
	"count":               countView{},
	"deadletters drop":    letterDeedView{},
	"deadletters list":    letterPageView{},
	"deadletters redrive": letterDeedView{},
	"deadletters show":    letterView{},
	"demo":                demoResult{},
	"dev":                 devResult{},
	"doctor":              diagnosis{},
	"exit-codes":          exitMeaning{},
	"get":                 instanceView{},
	"graph":               saga.Plan{},
	"history":             entry{},
	"import":              importView{},
	"list":                pageView{},
	"pause":               requestView{},
	"plan":                saga.Undoing{},
	"projections rebuild": rebuildView{},
	"projections run":     nil,
	"projections status":  modelStatus{},
	"projections verify":  verificationView{},
	"reset":               requestView{},
	"resolve":             requestView{},
	"resume":              requestView{},
	"retention plan":      engine.RetentionReport{},
	"retention run":       engine.RetentionReport{},
	"retry":               requestView{},
	"signal":              signalView{},
	"skip":                requestView{},
	"start":               startView{},
	"steps":               projections.StepTotals{},
	"terminate":           requestView{},
	"version":             versionView{},
}

func TestHelpTellsOfEveryFieldOfTheJSON(t *testing.T) {
	left := maps.Clone(printed)
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			look(below)
		}
		name := strings.TrimPrefix(c.CommandPath(), "sagactl ")
		if !c.Runnable() {
			return
		}
		value, known := printed[name]
		if delete(left, name); !known {
			t.Errorf("it is not known what %s prints", name)
		}
		if value == nil {
			return
		}
		_, text, told := strings.Cut(c.Long, " -o json")
		_, text, colon := strings.Cut(text, ": ")
		if !told || !colon {
			t.Errorf("the help of %s does not tell what -o json prints", name)
			return
		}
		compare(t, name, text, reflect.TypeOf(value))
	}
	look((&app{out: io.Discard, err: io.Discard}).root())
	for name := range left {
		t.Errorf("there is no command %s", name)
	}
}

// compare holds a list in a help text, such as "name, streams (name, bytes), sync (null where it is not known; always)",
// against the fields of a type. What is in parentheses after a field, and names one field of its type, has to name all.
func compare(t *testing.T, where, text string, of reflect.Type) {
	t.Helper()
	fields, named := fieldsOf(of), listed(text)
	if got, want := slices.Sorted(maps.Keys(named)), slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
		t.Errorf("the help of %s names\n%q, want\n%q", where, got, want)
	}
	for name, inner := range named {
		below := element(fields[name])
		if below == nil || below.Kind() != reflect.Struct {
			continue
		}
		inner = inner[strings.LastIndexAny(inner, ":;")+1:] // before stands a remark
		belows := fieldsOf(below)
		if slices.ContainsFunc(slices.Collect(maps.Keys(listed(inner))), func(n string) bool { return belows[n] != nil }) {
			compare(t, where+", "+name, inner, below)
		}
	}
}

// listed gives the first words of what commas separate, with what follows each in parentheses.
func listed(text string) map[string]string {
	items, depth, item := map[string]string{}, 0, ""
	end := func() {
		name, inner, _ := strings.Cut(item, "(")
		if words := strings.Fields(name); len(words) > 0 {
			items[words[0]] = inner[:max(strings.LastIndexByte(inner, ')'), 0)]
		}
		item = ""
	}
	for _, r := range text {
		switch {
		case depth == 0 && (r == '.' || r == ';'):
			end()
			return items
		case depth == 0 && r == ',':
			end()
			continue
		case r == '(':
			depth++
		case r == ')':
			depth--
		}
		item += string(r)
	}
	end()
	return items
}

// fieldsOf gives the fields of a struct as JSON has them.
func fieldsOf(of reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for f := range of.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for name, below := range fieldsOf(f.Type) {
				if fields[name] == nil { // one further out hides it
					fields[name] = below
				}
			}
		case f.IsExported() && name != "-":
			fields[cmp.Or(name, f.Name)] = f.Type
		}
	}
	return fields
}

// element gives what a pointer, a list or a map is of.
func element(of reflect.Type) reflect.Type {
	for of != nil && slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Map}, of.Kind()) {
		of = of.Elem()
	}
	return of
}
