package wire

import (
	"encoding/json"
	"testing"
)

// The codec beside encoding/json, with the arguments of a usual task.

type benchArgs struct {
	customerID string
	cents      int64
	retry      bool
	ratio      float64
}

func (a *benchArgs) fields(f *Fields) {
	f.String("customerID", &a.customerID)
	f.Int64("cents", &a.cents)
	f.Bool("retry", &a.retry)
	f.Float64("ratio", &a.ratio)
}

var benchParams = []Param{{Name: "customerID"}, {Name: "cents"}, {Name: "retry"}, {Name: "ratio"}}

type benchStruct struct {
	CustomerID string  `json:"customerID"`
	Cents      int64   `json:"cents"`
	Retry      bool    `json:"retry"`
	Ratio      float64 `json:"ratio"`
}

var (
	benchValue   = benchArgs{"c-42-0192fa", 1999, true, 0.25}
	benchPayload = json.RawMessage(`{"customerID":"c-42-0192fa","cents":1999,"retry":true,"ratio":0.25}`)
	benchSpaced  = json.RawMessage(`{"cents": 1999, "ratio": 0.25, "retry": true, "customerID": "c-42-0192fa"}`)
)

func BenchmarkFieldsEncode(b *testing.B) {
	b.Run("Fields", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			args := benchValue
			if _, err := Marshal(args.fields); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding_json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(benchValue.exported()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFieldsDecode(b *testing.B) {
	for name, payload := range map[string]json.RawMessage{"in_order": benchPayload, "reordered": benchSpaced} {
		b.Run("Fields_"+name, func(b *testing.B) {
			b.ReportAllocs()
			var args benchArgs
			for b.Loop() {
				if err := Unmarshal(payload, args.fields, benchParams); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("encoding_json", func(b *testing.B) {
		b.ReportAllocs()
		var args benchStruct
		for b.Loop() {
			if err := json.Unmarshal(benchPayload, &args); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func (a *benchArgs) exported() benchStruct {
	return benchStruct{a.customerID, a.cents, a.retry, a.ratio}
}
