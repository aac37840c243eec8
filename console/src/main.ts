import { mount } from 'svelte';
import App from './App.svelte';
import './style.css';

const target = document.getElementById('page');
if (target === null) throw new Error('the page has a place for itself');
mount(App, { target });
