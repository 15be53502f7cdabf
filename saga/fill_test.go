package saga

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"
)

// filler makes values of wire types with no field left zero, whatever fields they have: so a test by filled values
// covers a field, and a type, from the day it is added.
type filler struct {
	text   func() string
	number func() int64
}

// counting fills with values that are the same each time, and all different.
func counting() filler {
	n := int64(0)
	next := func() int64 { n++; return n }
	return filler{text: func() string { return fmt.Sprintf("text %d", next()) }, number: next}
}

// drawing fills with values out of a small number, so that they meet.
func drawing(r *rand.Rand) filler {
	words := []string{"a", "b", "c", "заказ", "<&>\"\\\u2028\n", "\ufffd"}
	return filler{
		text:   func() string { return words[r.IntN(len(words))] },
		number: func() int64 { return 1 + r.Int64N(5) },
	}
}

func filled[T any](f filler) T {
	var v T
	f.fill(reflect.ValueOf(&v).Elem())
	return v
}

// fill sets v and all in it. It panics at a type that it does not know, and at fields that JSON cannot see.
func (f filler) fill(v reflect.Value) {
	switch special := v.Addr().Interface().(type) {
	case *time.Time:
		*special = time.Date(2030, 1, 1, 0, 0, int(f.number()), 0, time.UTC)
		return
	case *State:
		*special = f.state()
		return
	case *json.RawMessage:
		*special = f.state().JSON()
		return
	case *Steps:
		for range 2 {
			f.fill(reflect.ValueOf(special.at(f.text())).Elem())
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(f.text())
	case reflect.Int, reflect.Int64:
		v.SetInt(f.number())
	case reflect.Uint64:
		v.SetUint(uint64(f.number()))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key)
			f.fill(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		f.fillFields(v)
	default:
		panic(fmt.Sprintf("a %v cannot be filled", v.Type()))
	}
}

func (f filler) fillFields(v reflect.Value) {
	for field, value := range v.Fields() {
		switch {
		case v.Type() == reflect.TypeFor[Block]() && (field.Name == "low" || field.Name == "high"):
			// Found out anew wherever they are needed.
		case !field.IsExported():
			panic(fmt.Sprintf("field %s of %v is not exported, so JSON loses it", field.Name, v.Type()))
		case field.Tag.Get("json") == "-":
		default:
			f.fill(value)
		}
	}
}

func (f filler) state() State {
	fields := map[string]any{f.text(): f.number(), f.text(): map[string]any{"nested": []any{f.text(), nil, true}}}
	data, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	s, err := ParseState(data)
	if err != nil {
		panic(err)
	}
	return s
}
