package saga

import (
	"reflect"
	"testing"
	"time"
)

func TestAStartAsItIsWrittenIsReadWithoutReflection(t *testing.T) {
	for name, want := range map[string]Start{
		"with everything":  filled[Start](counting()),
		"with nothing but": {Run: "r", Time: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := EncodeCommand(want)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := readPlainStart(data)
			if !ok || !reflect.DeepEqual(got, want) {
				t.Errorf("%s was read as %+v, %t", data, got, ok)
			}
		})
	}
}

func FuzzAPlainStartIsReadAsAnyOther(f *testing.F) {
	const rest = `{"run":"r","definition":1,"state":{"a":[1,"}"]},"previous":"p","time":"2030-01-02T03:04:05Z"}}`
	for _, text := range []string{
		plainStart + rest,
		plainStart + rest[:len(rest)-1] + `,"data":{"run":"other"}}`,
		plainStart + rest[:len(rest)-1] + `,"type":"Cancel"}`,
		plainStart + `{"run":"\u0072","Run":"R"}}`,
		plainStart + `{"run":"r","definition":-1,"state":{"b":1,"a":2,"b":3},"time":null}}`,
		plainStart + `{"run":"r", "definition":1e2}}`,
		plainStart + `"run"}`,
		plainStart + "{\"run\":\"\xff\"}}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := readPlainStart(data)
		if !ok {
			return
		}
		want, err := decodeCommand(data)
		if err != nil || !reflect.DeepEqual(want, Command(got)) {
			t.Errorf("%s was read as %+v; should be %+v, %v", data, got, want, err)
		}
	})
}
