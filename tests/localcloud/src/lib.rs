//! A region of AWS on one machine: emulated APIs, and real instances behind them.
