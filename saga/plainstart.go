package saga

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// plainStart begins every Start command that this build writes.
const plainStart = `{"f":1,"type":"Start","data":`

// readPlainStart reads a Start command without reflection: there is one for each saga. It takes what [EncodeCommand]
// writes; anything else, were it an escape in an id, is not ok and left to the decoder that takes everything.
func readPlainStart(data []byte) (start Start, ok bool) {
	if !bytes.HasPrefix(data, []byte(plainStart)) || !utf8.Valid(data) {
		return start, false
	}
	text, ok := compactText(data)
	if !ok {
		return start, false
	}
	if end, _ := valueEnd(text, len(plainStart)); end != len(text)-1 {
		return start, false
	}
	object := text[len(plainStart) : len(text)-1]
	if len(object) < 2 || object[0] != '{' {
		return start, false
	}
	for i := 1; object[i] != '}'; {
		var f field
		var nesting int
		if f, i, nesting = fieldAt(object, i); nesting > maxNesting {
			return Start{}, false
		}
		var err error
		switch f.name {
		case "run":
			start.Run, ok = plainText(f.value)
		case "definition":
			start.Definition, err = strconv.Atoi(f.value)
			ok = err == nil
		case "state":
			start.State, err = parseCompact(f.value)
			ok = err == nil
		case "previous":
			start.Previous, ok = plainText(f.value)
		case "time":
			ok = start.Time.UnmarshalJSON([]byte(f.value)) == nil
		case "deadline":
			ok = start.Deadline.UnmarshalJSON([]byte(f.value)) == nil
		case "parent":
			ok = json.Unmarshal([]byte(f.value), &start.Parent) == nil
		case "attributes":
			ok = json.Unmarshal([]byte(f.value), &start.Attributes) == nil
		default:
			ok = false
		}
		if !ok {
			return Start{}, false
		}
	}
	return start, start.Run != ""
}

// plainText reads a string that has no escape.
func plainText(value string) (text string, ok bool) {
	if value[0] != '"' || strings.Contains(value, `\`) {
		return "", false
	}
	return value[1 : len(value)-1], true
}
