package engine

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

func FuzzArchiveLine(f *testing.F) {
	in := saga.NewInstance(saga.Key{Definition: "trip", ID: "t-1"})
	in.Run, in.Status = "r-1", saga.StatusCompleted
	line, err := encodeArchiveLine(&streams.Holdings{Key: in.Key, Saga: in, Records: []streams.StoredRecord{
		{Sequence: 1, Time: time.Unix(1, 2).UTC(), Header: nats.Header{"A": {"b", "c"}}, Data: []byte("{}")},
		{Commit: true, Sequence: 2, Time: time.Unix(3, 4).UTC(), Data: []byte{0, 255}},
	}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(line), "", "{}", `{"f":1}`, `{"f":2,"records":7}`, `{"f":1,"definition":"a","id":"b","records":[{"subject":"evt"}]}`,
		`{"f":1,"definition":"a","id":"b","records":[{"subject":"out","data":"e30="}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, records, err := decodeArchiveLine(data)
		if err != nil {
			return
		}
		if err := key.Validate(); err != nil {
			t.Fatalf("it gave the key %v: %v", key, err)
		}
		again := saga.NewInstance(key)
		line, err := encodeArchiveLine(&streams.Holdings{Key: key, Saga: again, Records: records})
		if err != nil {
			return // a time that JSON cannot have
		}
		if !json.Valid(line) {
			t.Fatalf("%s is not JSON", line)
		}
		sameKey, same, err := decodeArchiveLine(line)
		if err != nil || sameKey != key || !reflect.DeepEqual(same, records) {
			t.Fatalf("%+v became %+v, %v", records, same, err)
		}
	})
}
