package saga

import (
	"bytes"
	"encoding/json"
	"sync"
)

// encoder is encoding/json's, with the room for what it writes.
type encoder struct {
	text bytes.Buffer
	json *json.Encoder
}

// longText is the size from which the room is not kept: few states are as long.
const longText = 64 << 10

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.json = json.NewEncoder(&e.text)
	return e
}}

// encodeState gives the JSON that [json.Marshal] gives, which is compact. There is one for every step of every saga.
func encodeState(v any) (string, error) {
	e := encoders.Get().(*encoder)
	e.text.Reset()
	if err := e.json.Encode(v); err != nil {
		return "", err
	}
	line := e.text.Bytes()
	text := string(line[:len(line)-1])
	if cap(line) < longText {
		encoders.Put(e)
	}
	return text, nil
}
