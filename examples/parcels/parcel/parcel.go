// Package parcel has the types of the tasks' parameters and results: the worker and
// those that only enqueue import it.
package parcel

import "errors"

// Parcel is what is sent.
type Parcel struct {
	ID    string `json:"id"`
	To    string `json:"to"`
	Grams int64  `json:"grams"`
}

// Validate refuses what no van takes.
func (p Parcel) Validate() error {
	if p.ID == "" || p.To == "" || p.Grams <= 0 {
		return errors.New("a parcel has an id, an address and a weight")
	}
	return nil
}

// Label is what the depot sticks on a parcel.
type Label struct {
	Shelf int    `json:"shelf"`
	Code  string `json:"code"`
}
