package durable

import (
	"errors"

	"github.com/taskctx/taskctx/runtime"
)

// Trip is a customer's booking.
type Trip struct {
	Customer string `json:"customer"`
	City     string `json:"city"`
}

// BookTrip books a flight and a hotel: both, or neither. Each is a task with
// retries of its own; only when those are used up is what was booked given back.
//
//task:context durable retries=5
func BookTrip(ctx *runtime.Context, trip Trip) (tickets []string, err error) {
	flight, err := runtime.Spawn(ctx, "flight", BookFlightCall(trip)).Await(ctx)
	if err != nil {
		return nil, err // nothing is booked yet
	}
	hotel, err := runtime.Spawn(ctx, "hotel", BookHotelCall(trip)).Await(ctx)
	var failed *runtime.TaskError
	if errors.As(err, &failed) { // for good; runtime.ErrSuspended is none
		if _, err := runtime.Spawn(ctx, "cancel flight", CancelFlightCall(flight)).Await(ctx); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	return []string{flight, hotel}, nil
}

// BookFlight books a flight.
//
//task:context retries=3
func BookFlight(ctx *AgencyContext, trip Trip) (ticket string, err error) {
	return ctx.Agency.Book(ctx, "flight to "+trip.City, trip.Customer)
}

// BookHotel books a hotel.
//
//task:context retries=3
func BookHotel(ctx *AgencyContext, trip Trip) (ticket string, err error) {
	return ctx.Agency.Book(ctx, "hotel in "+trip.City, trip.Customer)
}

// CancelFlight gives a flight back. It is retried for as long as it takes.
//
//task:context retries=100
func CancelFlight(ctx *AgencyContext, ticket string) error {
	return ctx.Agency.Cancel(ctx, ticket)
}
