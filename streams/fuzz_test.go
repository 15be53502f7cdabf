package streams

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// FuzzPubAnswer holds the reading of acknowledgements, most of which takes a short cut, against encoding/json.
func FuzzPubAnswer(f *testing.F) {
	for _, answer := range []string{
		`{"stream":"S", "seq":1}`, `{"stream":"S","domain":"hub","seq":7,"duplicate":true}`, `{"seq":18446744073709551615}`, `{"seq":0}`,
		`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"},"stream":"S","seq":0}`, `{"stream":"error","seq":3}`,
		`{"stream":"S","seq":3,"batch":"b","count":2}`, `{"stream":"\"seq\":5","seq":3}`, `{"seq":5`, `{"seq": 5}`, `{"seq":-1}`, "",
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := readPubAnswer(&nats.Msg{Data: data})
		if (got.sequence == 0) != (got.err != nil) {
			t.Fatalf("%q is read as %d, %v", data, got.sequence, got.err)
		}
		var want struct {
			Error    *jetstream.APIError `json:"error"`
			Sequence uint64              `json:"seq"`
		}
		if !flat(data) || json.Unmarshal(data, &want) != nil {
			return
		}
		if want.Error != nil {
			want.Sequence = 0
		}
		if got.sequence != want.Sequence {
			t.Errorf("%q is read as %d, is %d", data, got.sequence, want.Sequence)
		}
	})
}

// flat reports whether data is an object as servers send them: no field comes twice or in capitals, and only an error is nested.
func flat(data []byte) bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil || bytes.Contains(data, []byte(`\u`)) {
		return false
	}
	for name, value := range fields {
		for _, ours := range []string{"seq", "error"} {
			if strings.EqualFold(name, ours) && name != ours || bytes.Count(data, []byte(strconv.Quote(ours))) > 1 {
				return false
			}
		}
		if name != "error" && bytes.ContainsAny(value[:1], "{[") {
			return false
		}
	}
	return true
}

func FuzzParseDirect(f *testing.F) {
	f.Add("41", "2026-01-02T03:04:05.678901234Z", "40", "", uint64(41), int64(1_700_000_000_000_000_001))
	f.Add("x", "yesterday", "-1", "404", uint64(0), int64(-1))
	f.Fuzz(func(t *testing.T, sequence, at, previous, status string, number uint64, nanos int64) {
		m := nats.NewMsg("reply")
		for name, value := range map[string]string{
			headerSequence: sequence, headerTime: at, jetstream.ExpectedLastSubjSeqHeader: previous, headerSubject: "s", statusHeader: status,
		} {
			m.Header.Set(name, value)
		}
		if got, err := parseDirect(m); err == nil && (status != "" || got.Subject != "s" || got.Time.Format(time.RFC3339Nano) == "") {
			t.Errorf("%v is read as %+v", m.Header, got)
		}
		written := time.Unix(0, nanos).UTC()
		m.Header.Del(statusHeader)
		m.Header.Set(headerSequence, strconv.FormatUint(number, 10))
		m.Header.Set(headerTime, written.Format(time.RFC3339Nano))
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(number/2, 10))
		if got, err := parseDirect(m); err != nil || got.Sequence != number || got.Previous != number/2 || !got.Time.Equal(written) {
			t.Errorf("%v is read as %+v, %v", m.Header, got, err)
		}
	})
}

func FuzzTombstone(f *testing.F) {
	f.Add("run", "completed", int64(1_700_000_000_000_000_001), "yesterday")
	f.Fuzz(func(t *testing.T, run, status string, nanos int64, ended string) {
		key := saga.Key{Definition: "d", ID: "i"}
		want := Tombstone{Key: key, Run: run, Status: saga.Status(status), EndedAt: time.Unix(0, nanos).UTC(), PurgedAt: time.Unix(1, 0).UTC()}
		m := stored{Header: nats.Header{}, Time: want.PurgedAt}
		want.write(m.Header, historicPurged)
		if got := readTombstone(key, m); got != want {
			t.Errorf("%+v is read as %+v", want, got)
		}
		m.Header.Set(headerEnded, ended)
		at, err := time.Parse(time.RFC3339Nano, ended)
		if got := readTombstone(key, m); err != nil && !got.EndedAt.IsZero() || err == nil && !got.EndedAt.Equal(at) {
			t.Errorf("an end at %q is read as %v", ended, got.EndedAt)
		}
	})
}

func FuzzLetter(f *testing.F) {
	f.Add("saga.default.dead.001.place-order.o-1", "no", "41", "2000", []byte("command"), "place-order", "o-1")
	f.Add("saga.default.dead.", "", "-1", "-1", []byte{}, "", ".")
	f.Fuzz(func(t *testing.T, subject, reason, sequence, size string, data []byte, definition, id string) {
		n := &Namespace{subjects: newSubjects("default")}
		m := stored{Subject: subject, Sequence: 7, Data: data, Header: nats.Header{}}
		m.Header.Set(HeaderReason, reason)
		m.Header.Set(HeaderSequence, sequence)
		m.Header.Set(HeaderSize, size)
		d := n.letter(m)
		if d.Number != 7 || d.Reason != reason || !bytes.Equal(d.Data, data) || d.Cut() && d.Size <= len(data) {
			t.Errorf("%+v is read as %+v", m, d)
		}
		if d.Key != (saga.Key{}) && !strings.HasSuffix(subject, "."+d.Key.Definition+"."+d.Key.ID) {
			t.Errorf("the letter on %q is to %v", subject, d.Key)
		}
		key := saga.Key{Definition: definition, ID: id}
		if key.Validate() != nil {
			return
		}
		m.Subject = n.subjects.dead(key)
		if d := n.letter(m); d.Key != key {
			t.Errorf("the letter on %q is to %v", m.Subject, d.Key)
		}
	})
}

func FuzzParseShard(f *testing.F) {
	f.Add("saga.default.001.>", byte(1))
	f.Add("saga.default.1.>", byte(255))
	f.Fuzz(func(t *testing.T, filter string, number byte) {
		s := newSubjects("default")
		if got, ok := s.parseShard(filter); ok && s.shard(got) != filter {
			t.Errorf("%q is read as shard %v", filter, got)
		}
		if got, ok := s.parseShard(s.shard(shard.Shard(number))); !ok || got != shard.Shard(number) {
			t.Errorf("shard %d is read as %v", number, got)
		}
	})
}
