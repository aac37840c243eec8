// Numbers and times in the words of the chosen language.
import { text, locale } from './words.svelte';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

export function number(value: number, digits = 0): string {
  return value.toLocaleString(locale(), { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${number(value, unit === 0 || value >= 100 ? 0 : 1)} ${UNITS[unit] ?? ''}`;
}

export function duration(ms: number): string {
  const words = text().units;
  const seconds = ms / 1000;
  if (seconds < 10) return `${number(seconds, 1)} ${words.second}`;
  if (seconds < 100) return `${number(Math.round(seconds))} ${words.second}`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${number(minutes)} ${words.minute}`;
  const hours = Math.round(minutes / 60);
  if (hours < 48) return `${number(hours)} ${words.hour}`;
  return `${number(Math.round(hours / 24))} ${words.day}`;
}

/** A time that is short. */
export function milliseconds(ms: number): string {
  return `${number(ms, ms < 10 ? 1 : 0)}\u00a0ms`;
}

/** A time that is guessed: the longer the rougher, and never nothing. */
export function guess(seconds: number): string {
  return duration(Math.max(1, Math.ceil(seconds)) * 1000).replace(/[.,]0(?= )/, '');
}

export function clock(atMs: number): string {
  return new Date(atMs).toLocaleTimeString(locale(), { hour12: false });
}

/** A date alone. */
export function day(atMs: number): string {
  return new Date(atMs).toLocaleDateString(locale(), { year: 'numeric', month: '2-digit', day: '2-digit' });
}

export function moment(atMs: number): string {
  const date = new Date(atMs);
  const now = new Date();
  if (now.toDateString() === date.toDateString()) return clock(atMs);
  return date.toLocaleString(locale(), {
    ...(now.getFullYear() === date.getFullYear() ? {} : { year: 'numeric' }), month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false,
  });
}
